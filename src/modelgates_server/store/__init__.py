"""Way out: SQL. One package per database, each passing the same contract suite."""
