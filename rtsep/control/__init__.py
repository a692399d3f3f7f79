"""What every face of the player speaks through: one table of commands and one state, for terminal, page and remote."""
