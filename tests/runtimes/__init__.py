"""Real programs driving our executables, and nothing but ours."""
