package state

import "github.com/redis/rueidis"

// Answers of takeScript.
const (
	takeStale = -1 // the epoch is over
	takeFirst = 1
)

// endOf reads a value of this package: what it is, its end, its content.
const endOf = `
local function read(key)
	local v = redis.call('GET', key)
	if not v then return nil, 0 end
	local kind, ends, content = string.match(v, '^(%a)(%d+) (.*)$')
	return kind, tonumber(ends) or 0, content
end
`

// takeScript: KEYS mark, life, beat; ARGV epoch, least beat, end, now, time to live, that of the beat.
var takeScript = rueidis.NewLuaScript(endOf + `
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[1] then return {-1, 0} end
if tonumber(redis.call('GET', KEYS[3]) or '0') < tonumber(ARGV[2]) then return {-1, 0} end
local kind, ends = read(KEYS[1])
if kind and ends > tonumber(ARGV[4]) then return {0, 0} end
redis.call('SET', KEYS[1], 'm' .. ARGV[3] .. ' ', 'PX', ARGV[5])
local beat = redis.call('INCR', KEYS[3])
redis.call('PEXPIRE', KEYS[3], ARGV[6])
return {1, beat}
`)

// refreshScript: KEYS record; ARGV value, now, time to live.
var refreshScript = rueidis.NewLuaScript(endOf + `
local kind, ends = read(KEYS[1])
if kind ~= 'r' or ends <= tonumber(ARGV[2]) then return {0} end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3])
return {1}
`)

// swapScript: KEYS record; ARGV whether anything must be there, what, the new value or nothing, now, time to live. It
// answers whether it was done, and what was there otherwise.
var swapScript = rueidis.NewLuaScript(endOf + `
local kind, ends, content = read(KEYS[1])
local there = kind == 'r' and ends > tonumber(ARGV[4])
if there ~= (ARGV[1] == '1') or there and content ~= ARGV[2] then
	if there then return {0, content} end
	return {0}
end
if ARGV[3] == '' then
	redis.call('DEL', KEYS[1])
else
	redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[5])
end
return {1}
`)

// addScript: KEYS counter; ARGV change, end if new, now, time to live if new. It answers count and end, both 0 where
// there is no counter, and a single number where there is something else.
var addScript = rueidis.NewLuaScript(endOf + `
local delta = tonumber(ARGV[1])
local kind, ends, content = read(KEYS[1])
if kind and ends > tonumber(ARGV[3]) then
	if kind ~= 'c' then return {0} end
	local count = tonumber(content)
	if delta ~= 0 then
		count = math.min(math.max(count + delta, 0), 2147483647)
		redis.call('SET', KEYS[1], string.format('c%.0f %d', ends, count), 'KEEPTTL')
	end
	return {count, ends}
end
if delta <= 0 then return {0, 0} end
redis.call('SET', KEYS[1], 'c' .. ARGV[2] .. ' ' .. string.format('%d', delta), 'PX', ARGV[4])
return {delta, tonumber(ARGV[2])}
`)

// undoScript: KEYS counter; ARGV its end, now.
var undoScript = rueidis.NewLuaScript(endOf + `
local kind, ends, content = read(KEYS[1])
if kind ~= 'c' or ends ~= tonumber(ARGV[1]) or ends <= tonumber(ARGV[2]) then return {0} end
local count = tonumber(content) - 1
if count < 0 then return {0} end
if count > 0 then
	redis.call('SET', KEYS[1], string.format('c%.0f %d', ends, count), 'KEEPTTL')
else
	redis.call('DEL', KEYS[1])
end
return {1}
`)

// beatScript: KEYS life, beat; ARGV a fresh epoch, the epoch known, its beat, the beat's time to live. It answers epoch,
// beat and the eviction policy. Where access rules forbid INFO, the run of the server and the policy are unknown.
var beatScript = rueidis.NewLuaScript(`
local function info(section, field)
	local text = redis.pcall('INFO', section)
	return type(text) == 'string' and string.match(text, field .. ':([^\r\n]*)') or ''
end
local run = info('server', 'run_id')
local life = redis.call('HMGET', KEYS[1], 'epoch', 'run')
local epoch, beat = life[1], tonumber(redis.call('GET', KEYS[2]) or '0')
if not epoch or (run ~= '' and life[2] ~= run) or (epoch == ARGV[2] and beat < tonumber(ARGV[3])) then
	epoch = ARGV[1]
	redis.call('HSET', KEYS[1], 'epoch', epoch, 'run', run)
end
beat = redis.call('INCR', KEYS[2])
redis.call('PEXPIRE', KEYS[2], ARGV[4])
return {epoch, beat, info('memory', 'maxmemory_policy')}
`)
