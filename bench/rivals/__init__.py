"""The contestants: one module for each client, all with the same small face.

Each module has a ``Rival(address)`` whose methods are named after works (``get``, ``pipeline_1k``, ...) and return a
``Work``. A rival without a method does not take part in that work. Modules know their own client and ``bench.data``,
never each other and never the clock. Only the worker process of that rival imports the module, inside the rival's own
environment.
"""
