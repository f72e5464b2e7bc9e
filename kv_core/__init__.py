"""Key-value stores behind one protocol, with wrappers that stack."""
