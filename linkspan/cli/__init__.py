"""The `linkspan` command: one module for each verb, imported when that verb is used.

A module shows and asks; what a verb does is in the packages that it calls. It may import every other
package, and no other package imports this one.
"""
