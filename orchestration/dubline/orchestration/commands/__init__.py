"""The functions behind the operator's commands. All settings come from the environment.

Each module is imported only by its own commands: most of the time of a short command goes to imports.
"""
