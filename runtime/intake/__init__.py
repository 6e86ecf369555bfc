"""Messages of other systems, before anything is done with them. Pure: no broker, no database."""
