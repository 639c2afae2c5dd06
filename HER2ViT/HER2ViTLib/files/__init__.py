"""Reading files safely, writing them whole or not at all, and their hashes. Imports only `messages`."""
