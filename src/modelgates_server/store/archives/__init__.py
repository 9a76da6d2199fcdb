"""Archives: compressed JSON Lines with the records of old generations, each with a manifest."""
