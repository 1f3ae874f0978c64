// Looks up names with Go's own resolver: lookup TYPE NAME…
package main

import (
	"context"
	"fmt"
	"net"
	"os"
)

func main() {
	resolver := &net.Resolver{PreferGo: true}
	for _, name := range os.Args[2:] {
		var found any
		var err error
		switch os.Args[1] {
		case "A":
			found, err = resolver.LookupNetIP(context.Background(), "ip4", name)
		case "PTR":
			found, err = resolver.LookupAddr(context.Background(), name)
		case "TXT":
			found, err = resolver.LookupTXT(context.Background(), name)
		}
		fmt.Println(name, found, err)
	}
}
