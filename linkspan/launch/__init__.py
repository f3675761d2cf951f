"""What a runtime executes: the launchers in C and Python, their protocol with the workers, and their installation."""
