-- Give a lock back, if the token holds it, and wake those who wait.
-- KEYS[1] the lock
-- ARGV[1] token, ARGV[2] the channel on which waiters listen
-- Returns 1, or 0 where the token does not hold the lock.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.pcall('PUBLISH', ARGV[2], '') -- a user without a right to the channel still gives back; waiters poll
return 1
