// Command load calls one gRPC method with prepared messages, over and over, and prints what came of it as JSON.
//
// The messages come from a file (each with its length in 4 bytes in front), the tokens from another, one a line;
// call i takes message i and token i, both from the start again at the end. Bodies pass as bytes: no
// server of the comparison needs its protos here.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type raw struct{}

func (raw) Name() string                  { return "proto" }
func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}

type result struct {
	Rate  float64        `json:"rate"`
	P50us float64        `json:"p50_us"`
	P99us float64        `json:"p99_us"`
	Codes map[string]int `json:"codes"`
}

func main() {
	addr := flag.String("addr", "", "host:port")
	path := flag.String("path", "", "/service/method")
	bodyFile := flag.String("bodies", "", "file of messages")
	tokenFile := flag.String("tokens", "", "file of bearer tokens")
	calls := flag.Int("n", 1000, "calls altogether")
	connections := flag.Int("c", 4, "connections")
	streams := flag.Int("m", 16, "calls at a time on each connection")
	flag.Parse()

	bodies := messages(*bodyFile)
	tokens := strings.Fields(string(read(*tokenFile)))
	var next atomic.Int64
	var mutex sync.Mutex
	var taken []float64
	codes := map[string]int{}
	var wait sync.WaitGroup
	started := time.Now()
	for c := 0; c < *connections; c++ {
		connection, err := grpc.NewClient("passthrough:///"+*addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		check(err)
		defer connection.Close()
		for s := 0; s < *streams; s++ {
			wait.Add(1)
			go func() {
				defer wait.Done()
				mine, counted := []float64{}, map[string]int{}
				for {
					i := int(next.Add(1)) - 1
					if i >= *calls {
						break
					}
					ctx := context.Background()
					if len(tokens) > 0 {
						ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+tokens[i%len(tokens)])
					}
					var reply []byte
					begun := time.Now()
					err := connection.Invoke(ctx, *path, &bodies[i%len(bodies)], &reply, grpc.ForceCodec(raw{}))
					mine = append(mine, float64(time.Since(begun).Nanoseconds())/1000)
					counted[status.Code(err).String()]++
				}
				mutex.Lock()
				defer mutex.Unlock()
				taken = append(taken, mine...)
				for code, count := range counted {
					codes[code] += count
				}
			}()
		}
	}
	wait.Wait()
	elapsed := time.Since(started).Seconds()
	sort.Float64s(taken)
	check(json.NewEncoder(os.Stdout).Encode(result{
		float64(*calls) / elapsed, taken[len(taken)/2], taken[len(taken)*99/100], codes,
	}))
}

func messages(file string) [][]byte {
	var found [][]byte
	for rest := read(file); len(rest) > 0; {
		size := int(binary.BigEndian.Uint32(rest))
		found = append(found, rest[4:4+size])
		rest = rest[4+size:]
	}
	return found
}

func read(file string) []byte {
	if file == "" {
		return nil
	}
	content, err := os.ReadFile(file)
	check(err)
	return content
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
