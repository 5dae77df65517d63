-- Tell a message's status.
-- KEYS: as named below.
-- ARGV: now (ms; '' asks the server), mid.
-- Returns the status's name, or nothing where the message is not in the queue.
local messages, messages_rq, locks, backoffs, done, requeue = unpack(KEYS)
-- include: now
-- include: status

return status(ARGV[2])
