package native

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// memoryUsage sums what processes use, in bytes: their share of what is shared,
// and what is theirs alone.
func memoryUsage(processes []int) (proportional, private int64) {
	for _, pid := range processes {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue // it ends just now
		}
		used := parseRollup(text)
		proportional += used["Pss"]
		private += used["Private_Clean"] + used["Private_Dirty"]
	}
	return proportional, private
}

// parseRollup reads lines like "Pss:   123 kB".
func parseRollup(text []byte) map[string]int64 {
	found := map[string]int64{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), ":")
		if !ok {
			continue
		}
		number, isSize := strings.CutSuffix(strings.TrimSpace(value), " kB")
		if size, err := strconv.ParseInt(number, 10, 64); err == nil && isSize {
			found[name] = size << 10
		}
	}
	return found
}
