"""How many workers a pool needs: a pure decision, and a simulator that calls the same function."""
