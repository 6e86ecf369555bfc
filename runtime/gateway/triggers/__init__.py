"""HTTP triggers: from a plain HTTP request to a job, and from its outcome to the answer."""
