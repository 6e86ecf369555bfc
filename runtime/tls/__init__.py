"""TLS: the local authority, checks of supplied certificates, and the certificate of each host name."""
