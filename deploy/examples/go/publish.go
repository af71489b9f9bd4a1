// Tells payrelay of a payment: AMQP_URL=amqp://… publish MERCHANT_ID ORDER_NO AMOUNT_MINOR
package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const (
	attempts       = 5
	connectTimeout = 10 * time.Second
	confirmTimeout = 10 * time.Second
	closeTimeout   = time.Second
)

// publish returns nil once the broker has the event, on disk, in every queue that is bound for its type.
func publish(eventID string, body []byte) error {
	config := amqp.Config{Dial: amqp.DefaultDial(connectTimeout)}
	connection, err := amqp.DialConfig(os.Getenv("AMQP_URL"), config)
	if err != nil {
		return err
	}
	defer closeSoon(connection)
	channel, err := connection.Channel()
	if err != nil {
		return err
	}
	if err := channel.Confirm(false); err != nil {
		return err
	}
	confirms := channel.NotifyPublish(make(chan amqp.Confirmation, 1))
	returns := channel.NotifyReturn(make(chan amqp.Return, 1))
	if err := channel.ExchangeDeclare("pay.direct", "direct", true, false, false, false, nil); err != nil {
		return err
	}
	const mandatory, immediate = true, false
	message := amqp.Publishing{
		DeliveryMode: amqp.Persistent,
		ContentType:  "application/json",
		MessageId:    eventID,
		Type:         "pay.success",
		Headers:      amqp.Table{"cloudEvents_source": "/billing"},
		Body:         body,
	}
	err = channel.PublishWithContext(context.Background(), "pay.direct", "pay.success", mandatory, immediate, message)
	if err != nil {
		return err
	}
	select {
	case confirm := <-confirms: // no confirm, if the channel was closed
		if !confirm.Ack {
			return errors.New("not confirmed")
		}
	case <-time.After(confirmTimeout): // a blocked broker answers nothing at all
		return errors.New("not confirmed in time")
	}
	select {
	case <-returns: // it comes before the confirm
		return errors.New("no queue is bound for pay.success")
	default:
		return nil
	}
}

// closeSoon does not wait for a blocked broker.
func closeSoon(connection *amqp.Connection) {
	closed := make(chan error, 1)
	go func() { closed <- connection.Close() }()
	select {
	case <-closed:
	case <-time.After(closeTimeout):
	}
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var id [16]byte
	if _, err := rand.Read(id[:]); err != nil {
		log.Fatal(err)
	}
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 4 {
		log.Fatal("expected MERCHANT_ID ORDER_NO AMOUNT_MINOR")
	}
	merchantID, orderNo, amountMinor := os.Args[1], os.Args[2], os.Args[3]
	eventID, now := newUUID(), time.Now().UTC().Format(time.RFC3339Nano)
	body, err := json.Marshal(map[string]string{
		"eventId":     eventID,
		"type":        "PAY_EVENT_TYPE_SUCCESS",
		"status":      "PAY_ORDER_STATUS_TRADE_SUCCESS",
		"merchantId":  merchantID,
		"orderNo":     orderNo,
		"payOrderNo":  "UP-" + orderNo, // your own number
		"version":     "1",
		"amountMinor": amountMinor,
		"currency":    "CNY",
		"channel":     "upstream",
		"paidAt":      now,
		"occurredAt":  now,
	})
	if err != nil {
		log.Fatal(err)
	}
	for attempt := 1; ; attempt++ {
		err := publish(eventID, body) // always the same event: whoever has it already knows it
		if err == nil {
			break
		}
		if attempt == attempts {
			log.Fatal("not published: ", err)
		}
		time.Sleep(time.Second)
	}
	fmt.Println("published", eventID)
}
