"""The single-writer rule inside a container: a guard in Python, a sandbox in the kernel.

Neither reaches a process that runs neither this library nor its launcher: there, writes can only
be detected. What each level denies stands in ENFORCEMENT.md, which is made from the test's table.
"""
