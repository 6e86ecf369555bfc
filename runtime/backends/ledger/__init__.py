"""The parts of the ledger in the document database: codec, conditions, claims, clock."""
