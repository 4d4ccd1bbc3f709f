"""`make demo`: four days of a real grid in two minutes, on a bed of its own, and a check of everything it claims."""
