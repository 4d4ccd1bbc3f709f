"""The curve of a job that names none: from energy records to what is learned, what is planned, and what is kept. Pure."""
