"""Tables from users: reading them, their faults, one row a case. Imports only the first library."""
