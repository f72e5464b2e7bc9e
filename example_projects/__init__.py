"""Three applications over one set of stores, and the demo that drives them."""
