"""The life of asynchronous jobs between queue and ledger: submitted, run, swept up, asked about."""
