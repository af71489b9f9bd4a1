import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.sql.SQLException;
import java.util.Map;
import java.util.concurrent.CountDownLatch;

/**
 * Marks the orders of one merchant as paid:
 * {@code AMQP_URL=amqp://… JDBC_URL=jdbc:postgresql://… java Consume MERCHANT_ID}.
 *
 * <p>It is the small container around {@link TradePaySuccessListener}. It ends when the broker goes
 * away; let it be started again.
 */
final class Consume extends DefaultConsumer {
    private static final String KEY = "pay.success";
    private static final String QUEUE = "sales-java." + KEY + ".queue";
    private static final int PREFETCH = 100;
    private static final long DATABASE_WAIT_MS = 1000;

    private final String merchantId;
    private final OrderService orders;
    private final TradePaySuccessListener listener;
    private final CountDownLatch end = new CountDownLatch(1);

    private Consume(Channel channel, OrderService orders, String merchantId) {
        super(channel);
        this.orders = orders;
        this.listener = new TradePaySuccessListener(orders);
        this.merchantId = merchantId;
    }

    public static void main(String[] arguments) throws Exception {
        OrderService orders = new OrderService(System.getenv("JDBC_URL"));
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("AMQP_URL"));
        factory.setAutomaticRecoveryEnabled(false);
        Connection connection = factory.newConnection();
        Channel channel = connection.createChannel();
        declare(channel);
        channel.basicQos(PREFETCH);
        Consume consumer = new Consume(channel, orders, arguments[0]);
        channel.addShutdownListener(consumer::shutDown);
        channel.basicConsume(QUEUE, false, consumer);
        System.out.println("consuming " + QUEUE);
        consumer.end.await();
        System.exit(1);
    }

    /**
     * The arguments of payrelay's own queues: nothing is dropped, no publish is refused, and what is
     * rejected is kept.
     */
    private static void declare(Channel channel) throws IOException {
        channel.exchangeDeclare("pay.direct", "direct", true);
        Map<String, Object> deadLetters = Map.of("x-queue-type", "quorum", "x-delivery-limit", 1_000_000_000);
        channel.queueDeclare(QUEUE + ".dlq", true, false, false, deadLetters);
        Map<String, Object> queue = Map.of(
                "x-queue-type", "quorum",
                "x-delivery-limit", 20,
                "x-overflow", "reject-publish", // without a limit of length, or it would stop everybody
                "x-dead-letter-strategy", "at-least-once",
                "x-dead-letter-exchange", "",
                "x-dead-letter-routing-key", QUEUE + ".dlq");
        channel.queueDeclare(QUEUE, true, false, false, queue);
        channel.queueBind(QUEUE, "pay.direct", KEY);
    }

    @Override
    public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] body)
            throws IOException {
        long deliveryTag = envelope.getDeliveryTag();
        try {
            PaySuccess message = PaySuccess.read(properties.getContentType(), body, merchantId);
            if (message != null) {
                handle(message);
            }
            getChannel().basicAck(deliveryTag, false); // last, after the commit
        } catch (PaySuccess.Poison error) {
            System.err.println("to the dead letters: " + properties.getMessageId() + " " + error.getMessage());
            getChannel().basicReject(deliveryTag, false);
        } catch (InterruptedException error) {
            end.countDown();
        }
    }

    /**
     * Returns after the commit. An outage is no reason to give anything back; heartbeats go on, in the
     * client's own thread.
     */
    private void handle(PaySuccess message) throws PaySuccess.Poison, InterruptedException {
        while (true) {
            try {
                orders.inTransaction(() -> listener.onPaySuccess(message));
                return;
            } catch (SQLException error) {
                String state = String.valueOf(error.getSQLState());
                if (state.startsWith("22") || state.startsWith("23")) { // the database does not take such data
                    throw new PaySuccess.Poison(error.getMessage());
                }
                System.err.println("waiting for the database: " + error.getMessage());
                Thread.sleep(DATABASE_WAIT_MS);
            }
        }
    }

    @Override
    public void handleCancel(String tag) {
        end.countDown(); // the queue was deleted
    }

    /** The channel or its connection was closed. Unlike a consumer's methods, this is not behind a message in hand. */
    private void shutDown(ShutdownSignalException reason) {
        System.err.println(reason.getMessage());
        end.countDown();
    }
}
