"""The parts of the file store: work on a local disk, addresses of S3 stores."""
