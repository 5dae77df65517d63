-- A script that has written may go on above `maxmemory`, and this write, which changes nothing, is always allowed: what
-- is in the queue can be handled, renewed and removed, which is how memory comes free.
redis.call('PERSIST', fences)
