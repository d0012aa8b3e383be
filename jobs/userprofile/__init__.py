"""What the jobs of this folder share. The scripts find it beside themselves; on a cluster it goes along by `--py-files`.

Not named `profile`: that would hide the module of Python's standard library which PySpark imports.
"""
