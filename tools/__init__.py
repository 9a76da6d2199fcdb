"""What writes files of the project that a person would get wrong."""
