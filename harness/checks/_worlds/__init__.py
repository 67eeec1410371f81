"""How two worlds are compared when values may vary by themselves: the machinery of the `idempotent` check.

`read` flattens rows and finds per-call changes, `masks` blurs what varies, `learn` finds out what varies from the two
clean passes, `effects` turns changes into effects of calls, `allowed` says which worlds the calls' fates allow.
"""
