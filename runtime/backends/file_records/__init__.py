"""Parts of `file_records_mongodb`."""
