"""What the queue knows and does not need to wait for: values, contents, replies of scripts, policies.

Pure: no clock, no chance, no connection. The state machine itself is in scripts/*.lua, for only the server sees a
message's state; docs/queue.md tells it. What a worker can build on:

* `Queue.poll(count)` gives up to `count` messages that are this caller's until their leases end, each with a fence;
  kind "skip" asks for another poll at once, "sleep" for `Queue.wait(seconds)`, which an enqueue ends early.
* A claimed message is ended once, by `finish`, `finish_many`, `nack` or `bury`; False tells that its lease was lost
  and nothing was changed. They may be called again after a network error: the fence makes that harmless.
* `extend` and `extend_many` renew leases; a lease that ran out is still its holder's until somebody else claims or
  updates the message.
* `Policy.pause` says how long to wait before the next attempt, or None when there is none; `chance` comes as an
  argument. Bounds on attempts are the worker's to keep: a claim tells its `attempt`.
"""
