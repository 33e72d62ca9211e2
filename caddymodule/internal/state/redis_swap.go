package state

import (
	"context"
	"time"

	"github.com/redis/rueidis"
)

// Swap implements [Store].
func (r *Redis) Swap(ctx context.Context, k Key, old, value []byte, until time.Time) (swapped bool, current []byte, err error) {
	left, now, name := until.Sub(r.now()), r.now(), r.name(k)
	packed, must := "", "0"
	if value != nil && left > 0 {
		packed, current = pack(value, until), append([]byte{}, value...)
	}
	if old != nil {
		must = "1"
	}
	var reply []rueidis.RedisMessage
	err = r.call(ctx, func(ctx context.Context, c rueidis.Client) error {
		args := []string{must, string(old), packed, micros(now), milliseconds(left)}
		reply, err = swapScript.Exec(ctx, c, []string{r.prefix + name}, args).ToArray()
		if err == nil && len(reply) > 0 {
			err = r.settle(ctx, c, name)
		}
		return err
	})
	if err != nil {
		return false, nil, err
	}
	if len(reply) == 0 {
		return false, nil, errReply
	}
	done, err := reply[0].AsInt64()
	if done == 1 || err != nil {
		return done == 1, current, err
	}
	if len(reply) == 1 {
		return false, nil, nil
	}
	there, err := reply[1].ToString()
	return false, []byte(there), err
}
