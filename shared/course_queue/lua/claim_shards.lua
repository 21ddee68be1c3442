#!lua flags=allow-oom
-- Agree on the number of shards, which decides where a course's work is announced: whoever starts first says it, and
-- another number is taken only when nothing waits and nobody runs who goes by the old one.
-- ARGV: number wanted
-- Returns {number in force, courses with requests waiting, processes running}; the last two, unless they are 0, say why
-- it is not the one wanted.
local wanted = tonumber(ARGV[1])
local agreed = tonumber(redis.call('GET', 'cr:shards') or wanted)

local function waiting()
  local count = 0
  for shard = 0, agreed - 1 do
    for _, course in ipairs(redis.pcall('SMEMBERS', 'cr:ready:' .. shard)) do
      count = count + redis.call('EXISTS', 'rq:queue:course-' .. course)
    end
  end
  return count
end

-- Every API process listens to outcomes, and every worker is on RQ's list.
local function running()
  local count = redis.call('PUBSUB', 'NUMSUB', 'cr:outcomes')[2]
  for _, worker in ipairs(redis.call('SMEMBERS', 'rq:workers')) do
    count = count + redis.call('HEXISTS', worker, 'birth')
  end
  return count
end

if agreed and agreed ~= wanted then
  local courses, processes = waiting(), running()
  if courses + processes > 0 then
    return {agreed, courses, processes}
  end
end
redis.call('SET', 'cr:shards', wanted)
return {wanted, 0, 0}
