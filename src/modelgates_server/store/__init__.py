"""The database ports. One package per database; all pass the same contract suite."""
