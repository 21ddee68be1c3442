-- Show a request's committed outcome where it still waits: it has been told, and nobody may be told less afterwards.
-- KEYS: job
-- ARGV: outcome
-- What is gone, or is no job, is not brought back; the worker's own word, the same, comes when it takes the request off.
if redis.call('TYPE', KEYS[1]).ok == 'hash' then
  return redis.call('HSETNX', KEYS[1], 'result', ARGV[1])
end
return 0
