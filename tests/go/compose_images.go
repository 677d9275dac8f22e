// Which images Docker Compose texts name, by go-yaml 3, the reader of compose-go: one JSON string with a text a line, one JSON
// object a line as the answer. What Compose makes of the tree is said here anew, by compose-go's loader: documents one after
// the other, `services` by name, a later image in the place of an earlier one unless services extend each other.
//
// Built by `make oracle` against Debian's golang-gopkg-yaml.v3-dev, without modules and without a network.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"strings"

	"gopkg.in/yaml.v3"
)

type answer struct {
	OK     bool     `json:"ok"`
	Images []string `json:"images,omitempty"`
	Ways   []string `json:"ways,omitempty"`
}

type service struct {
	images []string
	bodies []map[string]interface{}
}

func roots(text string) ([]interface{}, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var all []interface{}
	for {
		var raw interface{}
		err := decoder.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if raw != nil {
			all = append(all, raw)
		}
	}
}

func sorted(set map[string]bool) []string {
	list := []string{}
	for one := range set {
		list = append(list, one)
	}
	sort.Strings(list)
	return list
}

func read(text string) (said answer) {
	defer func() {
		if recover() != nil {
			said = answer{}
		}
	}()
	all, err := roots(text)
	if err != nil || len(all) == 0 {
		return answer{}
	}
	services := map[string]*service{}
	images, ways := map[string]bool{}, map[string]bool{}
	extending := false
	for _, one := range all {
		root, ok := one.(map[string]interface{})
		if !ok {
			return answer{}
		}
		if _, ok := root["include"]; ok {
			ways["include"] = true
		}
		if models, ok := root["models"].(map[string]interface{}); ok && len(models) > 0 {
			ways["model"] = true
		}
		if root["services"] == nil {
			continue
		}
		own, ok := root["services"].(map[string]interface{})
		if !ok {
			return answer{}
		}
		for name, value := range own {
			if value == nil {
				continue
			}
			body, ok := value.(map[string]interface{})
			if !ok {
				return answer{}
			}
			if services[name] == nil {
				services[name] = &service{}
			}
			services[name].bodies = append(services[name].bodies, body)
			if _, ok := body["extends"]; ok {
				extending = true
			}
			if image, ok := body["image"].(string); ok {
				services[name].images = append(services[name].images, image)
			}
		}
	}
	if len(services) == 0 {
		return answer{}
	}
	for _, one := range services {
		named := one.images
		if !extending && len(named) > 1 {
			named = named[len(named)-1:]
		}
		for _, image := range named {
			images[image] = true
		}
		for _, body := range one.bodies {
			ofBody(body, images, ways)
		}
	}
	return answer{OK: true, Images: sorted(images), Ways: sorted(ways)}
}

func ofBody(body map[string]interface{}, images, ways map[string]bool) {
	if _, ok := body["build"]; ok {
		ways["build"] = true
	}
	if _, ok := body["provider"]; ok {
		ways["provider"] = true
	}
	if extends, ok := body["extends"].(map[string]interface{}); ok && extends["file"] != nil {
		ways["extends"] = true
	}
	hooks, _ := body["pre_start"].([]interface{})
	for _, one := range hooks {
		hook, _ := one.(map[string]interface{})
		if image, ok := hook["image"].(string); ok {
			images[image] = true
		}
	}
	volumes, _ := body["volumes"].([]interface{})
	for _, one := range volumes {
		volume, _ := one.(map[string]interface{})
		if source, ok := volume["source"].(string); ok && volume["type"] == "image" {
			images[source] = true
		}
	}
}

func main() {
	lines := bufio.NewReader(os.Stdin)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var text string
			if json.Unmarshal([]byte(line), &text) != nil {
				panic("a line is no JSON string")
			}
			said, _ := json.Marshal(read(text))
			fmt.Println(string(said))
		}
		if err != nil {
			return
		}
	}
}
