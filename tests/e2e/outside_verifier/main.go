// Command outside_verifier checks a log that fujie wrote with code that fujie did not write: the note and tlog
// packages that the Go toolchain trusts for its own checksum database. It shares no line with fujie's verifier.
//
//	outside_verifier LOG_DIR VKEY      prints the number of entries; exit status 1 on any difference
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// files reads tiles of 2^8 hashes; C2SP paths have no tile height and call "data" "entries".
type files string

func (dir files) read(tile tlog.Tile) ([]byte, error) {
	path := strings.Replace(tile.Path(), "tile/8/data/", "tile/entries/", 1)
	return os.ReadFile(filepath.Join(string(dir), strings.Replace(path, "tile/8/", "tile/", 1)))
}
func (dir files) Height() int                     { return 8 }
func (dir files) SaveTiles([]tlog.Tile, [][]byte) {}
func (dir files) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		content, err := dir.read(tile)
		if err != nil {
			return nil, err
		}
		data = append(data, content)
	}
	return data, nil
}

// firstHash returns the leaf hash of the first entry of a bundle, or no entry's hash when there is none.
func firstHash(bundle []byte) tlog.Hash {
	if len(bundle) < 2 || len(bundle) < 2+int(binary.BigEndian.Uint16(bundle)) {
		return tlog.Hash{}
	}
	return tlog.RecordHash(bundle[2 : 2+int(binary.BigEndian.Uint16(bundle))])
}

func main() {
	dir, key := files(os.Args[1]), os.Args[2]
	verifier, err := note.NewVerifier(key)
	check(err)
	signed, err := os.ReadFile(filepath.Join(string(dir), "checkpoint"))
	check(err)
	opened, err := note.Open(signed, note.VerifierList(verifier))
	check(err)
	lines := strings.Split(opened.Text, "\n") // tlog.ParseTree accepts the checksum database's first line only
	if len(lines) != 4 || lines[0] != verifier.Name() {
		check(fmt.Errorf("not a checkpoint of %s", verifier.Name()))
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err)
	raw, err := base64.StdEncoding.DecodeString(lines[2])
	check(err)
	tree := tlog.Tree{N: size, Hash: tlog.Hash(raw)}
	hashes := tlog.TileHashReader(tree, dir) // verifies every tile it reads against the root
	for bundle := int64(0); bundle*256 < size; bundle++ {
		width := min(size-bundle*256, 256)
		data, err := dir.read(tlog.Tile{H: 8, L: -1, N: bundle, W: int(width)})
		check(err)
		proof, err := tlog.ProveRecord(size, bundle*256, hashes)
		check(err)
		check(tlog.CheckRecord(proof, size, tree.Hash, bundle*256, firstHash(data)))
		ids := make([]int64, width)
		for i := range ids {
			ids[i] = tlog.StoredHashIndex(0, bundle*256+int64(i))
		}
		vouched, err := hashes.ReadHashes(ids)
		check(err)
		for i, hash := range vouched {
			if firstHash(data) != hash {
				check(fmt.Errorf("entry %d is not the one that was signed", bundle*256+int64(i)))
			}
			data = data[2+int(binary.BigEndian.Uint16(data)):]
		}
		if len(data) != 0 {
			check(fmt.Errorf("bundle %d holds more than its entries", bundle))
		}
	}
	fmt.Println(size)
}
