"""What several frameworks need, once."""
