// Sums up what each merchant has sold: AMQP_URL=amqp://… DATABASE_URL=postgres://… consume
//
// It ends when the broker goes away; let it be started again.
package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/lib/pq"
	amqp "github.com/rabbitmq/amqp091-go"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	payv1 "pay/v1"
)

const (
	key      = "pay.success"
	queue    = "sales-go." + key + ".queue"
	prefetch = 100
)

// declare uses the arguments of payrelay's own queues: nothing is dropped, no publish is refused, and
// what is rejected is kept.
func declare(channel *amqp.Channel) error {
	if err := channel.ExchangeDeclare("pay.direct", "direct", true, false, false, false, nil); err != nil {
		return err
	}
	deadLetters := amqp.Table{"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000}
	if _, err := channel.QueueDeclare(queue+".dlq", true, false, false, false, deadLetters); err != nil {
		return err
	}
	arguments := amqp.Table{
		"x-queue-type":              "quorum",
		"x-delivery-limit":          20,
		"x-overflow":                "reject-publish", // without a limit of length, or it would stop everybody
		"x-dead-letter-strategy":    "at-least-once",
		"x-dead-letter-exchange":    "",
		"x-dead-letter-routing-key": queue + ".dlq",
	}
	if _, err := channel.QueueDeclare(queue, true, false, false, false, arguments); err != nil {
		return err
	}
	return channel.QueueBind(queue, key, "pay.direct", false, nil)
}

// decode returns the event; nil for a bare order number of an older publisher, which carries no amount,
// and for a recharge, which is no sale. An error is what can never be understood.
func decode(contentType string, body []byte) (*payv1.PayEvent, error) {
	mediaType, _, _ := strings.Cut(contentType, ";")
	mediaType = strings.ToLower(strings.TrimSpace(mediaType))
	event := new(payv1.PayEvent)
	switch {
	case mediaType == "application/protobuf", mediaType == "application/x-protobuf":
		if err := proto.Unmarshal(body, event); err != nil {
			return nil, err
		}
	case mediaType == "application/json", strings.HasSuffix(mediaType, "+json"):
		fields, err := decodeFields(body)
		if fields == nil || err != nil {
			return nil, err
		}
		// Takes both names of a field, and enums as numbers.
		if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(fields, event); err != nil {
			return nil, err
		}
	case mediaType == "text/plain", mediaType == "application/x-java-serialized-object":
		return nil, nil
	default:
		return nil, fmt.Errorf("content type %q", mediaType)
	}
	if event.Type != payv1.PayEventType_PAY_EVENT_TYPE_SUCCESS || event.AmountMinor < 1 {
		return nil, fmt.Errorf("no success: %v, %d", event.Type, event.AmountMinor)
	}
	if event.MerchantId == "" || event.OrderNo == "" || event.PayOrderNo == "" || event.Currency == "" {
		return nil, errors.New("merchant_id, order_no, pay_order_no, currency: expected a text each")
	}
	if event.Purpose == payv1.Purpose_PURPOSE_RECHARGE {
		return nil, nil
	}
	return event, nil
}

// decodeFields returns the object in the body without its nulls, which are fields that are not set; nil
// if it is an order number, or nothing but one.
func decodeFields(body []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return nil, checkBare(body)
	}
	for name, value := range fields {
		if string(value) == "null" {
			delete(fields, name)
		}
	}
	if len(fields) == 1 {
		for _, name := range []string{"orderNo", "order_no"} {
			if value, ok := fields[name]; ok {
				return nil, checkBare(value)
			}
		}
	}
	return json.Marshal(fields)
}

// checkBare returns nil if the JSON is an order number.
func checkBare(body []byte) error {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		return err
	}
	switch value.(type) {
	case string:
		return nil
	case float64: // as it is written: an order number may have more digits than a float64
		if !bytes.ContainsAny(body, ".eE") {
			return nil
		}
	}
	return errors.New("JSON: expected an event or an order number")
}

// handle makes the key and the effect one transaction: an event that comes again finds its key, and has no effect.
func handle(database *sql.DB, event *payv1.PayEvent) error {
	transaction, err := database.Begin()
	if err != nil {
		return err
	}
	defer transaction.Rollback() // does nothing after the commit
	// For refunds the last part is the refunded amount.
	eventKey := fmt.Sprintf("%s/%s/%s/%s/0", event.MerchantId, event.OrderNo, event.PayOrderNo, key)
	result, err := transaction.Exec("INSERT INTO handled_events VALUES ($1) ON CONFLICT DO NOTHING", eventKey)
	if err != nil {
		return err
	}
	if added, err := result.RowsAffected(); err != nil || added == 0 {
		return err
	}
	const add = `INSERT INTO sales VALUES ($1, $2, $3) ON CONFLICT (merchant_id, currency)
		DO UPDATE SET amount_minor = sales.amount_minor + excluded.amount_minor`
	if _, err := transaction.Exec(add, event.MerchantId, event.Currency, event.AmountMinor); err != nil {
		return err
	}
	return transaction.Commit()
}

// take handles one message to its end; an error is one of the broker.
func take(database *sql.DB, message amqp.Delivery) error {
	event, err := decode(message.ContentType, message.Body)
	for err == nil && event != nil {
		failure := handle(database, event)
		if failure == nil {
			break
		}
		var refused *pq.Error
		if errors.As(failure, &refused) && (refused.Code.Class() == "22" || refused.Code.Class() == "23") {
			err = failure // the database does not take such data
			break
		}
		log.Print("waiting for the database: ", failure)
		time.Sleep(time.Second) // an outage is no reason to give anything back; heartbeats go on
	}
	if err != nil {
		log.Print("to the dead letters: ", message.MessageId, " ", err)
		return message.Reject(false)
	}
	return message.Ack(false) // last, after the commit
}

func run() error {
	database, err := sql.Open("postgres", os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	_, err = database.Exec(`
		CREATE TABLE IF NOT EXISTS handled_events (event_key text PRIMARY KEY);
		CREATE TABLE IF NOT EXISTS sales
			(merchant_id text, currency text, amount_minor numeric, PRIMARY KEY (merchant_id, currency))`)
	if err != nil {
		return err
	}
	connection, err := amqp.Dial(os.Getenv("AMQP_URL"))
	if err != nil {
		return err
	}
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := declare(channel); err != nil {
		return err
	}
	if err := channel.Qos(prefetch, 0, false); err != nil {
		return err
	}
	messages, err := channel.Consume(queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	fmt.Println("consuming", queue)
	for message := range messages {
		if err := take(database, message); err != nil {
			return err
		}
	}
	return errors.New("the broker went away, or the queue was deleted")
}

func main() {
	log.Fatal(run())
}
