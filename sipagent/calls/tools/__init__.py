"""What agents may do during a call besides talking; each file makes `FunctionTool` objects of one kind."""
