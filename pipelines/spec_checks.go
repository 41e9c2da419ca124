package pipelines

import (
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/ensue-video/ensue/tracing"
	"github.com/ensue-video/ensue/web"
)

var (
	nameForm  = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$`)
	topicForm = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)
	notInName = regexp.MustCompile(`[^a-z0-9._-]+`)
)

// checkName allows what is safe in a group name, a metric label and a file name.
func checkName(text string) *complaint {
	if nameForm.MatchString(text) {
		return nil
	}
	c := &complaint{
		message: "is no name for a pipeline",
		hint:    "use up to 63 lower-case letters, digits, dots, dashes and underscores, a letter or digit at both ends",
	}
	if better := toName(text); nameForm.MatchString(better) {
		c.suggestion = better
		c.hint += ": " + better
	}
	return c
}

func toName(text string) string {
	return strings.Trim(notInName.ReplaceAllString(strings.ToLower(text), "-"), "._-")
}

// NameFrom is a name for a pipeline that comes near to the text; lobby where nothing does.
func NameFrom(text string) string {
	if name := toName(text); nameForm.MatchString(name) {
		return name
	}
	return "lobby"
}

// checkTopic is Kafka's own rule for topic names.
func checkTopic(text string) *complaint {
	if topicForm.MatchString(text) && text != "." && text != ".." {
		return nil
	}
	return &complaint{
		message: "is no name of a Kafka topic",
		hint:    "use up to 249 letters, digits, dots, dashes and underscores",
	}
}

func checkGroup(text string) *complaint {
	if len(text) <= 255 && strings.TrimSpace(text) == text && !strings.ContainsAny(text, "\n\t\r\x00") {
		return nil
	}
	return &complaint{message: "is no name of a consumer group", hint: "use up to 255 characters without spaces around them"}
}

// checkBroker wants host:port: kafka-go takes nothing else, and a URL would also carry a password.
func checkBroker(text string) *complaint {
	if strings.Contains(text, "://") || strings.ContainsAny(text, "@/") {
		return &complaint{message: "is a URL, and brokers are host:port", hint: "write the host and the port only, as in localhost:9092"}
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		c := &complaint{message: "has no port", hint: "brokers are host:port, as in localhost:9092"}
		if !strings.ContainsAny(text, ": []") && text != "" {
			c.suggestion = text + ":9092"
			c.hint = "brokers are host:port: " + c.suggestion
		}
		return c
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 {
		return &complaint{message: "has no port between 1 and 65535", hint: "brokers are host:port, as in localhost:9092"}
	}
	if host == "" || strings.ContainsAny(host, " \t\n") {
		return &complaint{message: "has no host", hint: "brokers are host:port, as in localhost:9092"}
	}
	return nil
}

// checkAddress is for what is listened on.
func checkAddress(text string) *complaint {
	if err := web.CheckAddress(text); err != nil {
		return &complaint{message: err.Error(), hint: "write host:port, as in localhost:8080"}
	}
	return nil
}

// checkOTLP is for where traces are sent.
func checkOTLP(text string) *complaint {
	if _, err := tracing.Endpoint(text); err != nil {
		return &complaint{message: err.Error(), hint: "write it as http://localhost:4318"}
	}
	return nil
}

func checkToken(text string) *complaint {
	if len(text) < web.MinimumToken {
		return &complaint{
			message: "is too short to keep anybody out",
			hint:    "take 16 characters or more, as openssl rand -hex 16 makes them",
		}
	}
	return nil
}
