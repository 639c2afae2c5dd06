"""Work on several processes or a cluster, in order. Imports only the first library."""
