"""Use cases. They apply the rules through the ports, without SQL or HTTP."""
