"""The round protocol as a model: every interleaving of its steps and of what may go wrong, checked exhaustively."""
