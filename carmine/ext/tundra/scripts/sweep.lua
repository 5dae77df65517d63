-- Look for keys whose own time is over, and for those that were noted as changed but never reached the queue.
-- KEYS: the marks.
-- ARGV: how many of each at most, after how long (ms) a note counts as overlooked.
-- Returns {keys whose time is over, keys to be queued again}; the latter come again only after as long.
-- include: marks
local most, age = tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', lent, '-inf', now - 60000)
local over = redis.call('ZRANGEBYSCORE', own, '-inf', now, 'LIMIT', 0, most)
local overlooked = redis.call('ZRANGEBYSCORE', dirty, '-inf', now - age, 'LIMIT', 0, most)
for _, key in ipairs(overlooked) do redis.call('ZADD', dirty, now, key) end
return {over, overlooked}
