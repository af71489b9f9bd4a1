import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Tells payrelay that an order is paid, as older services do, by nothing but its number:
 * {@code AMQP_URL=amqp://… java Publish ORDER_NO}.
 *
 * <p>The message is that of Spring's {@code convertAndSend("pay.direct", "pay.success", orderNo)} with a
 * {@code Jackson2JsonMessageConverter}, a {@code Long}, {@code mandatory} and publisher confirms.
 */
final class Publish {
    private static final int ATTEMPTS = 5;
    private static final int TIMEOUT_MS = 10_000;
    private static final int CLOSE_MS = 1000;

    private Publish() {}

    public static void main(String[] arguments) throws InterruptedException {
        Long orderNo = Long.valueOf(arguments[0]);
        for (int attempt = 1; ; attempt++) {
            try {
                publish(orderNo); // always the same order: whoever knows that it is paid has it already
                break;
            } catch (Exception error) {
                if (attempt == ATTEMPTS) {
                    System.err.println("not published: " + error);
                    System.exit(1);
                }
                Thread.sleep(1000);
            }
        }
        System.out.println("published " + orderNo);
        System.exit(0);
    }

    /** Returns once the broker has the number, on disk, in every queue that is bound. */
    private static void publish(Long orderNo) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("AMQP_URL"));
        factory.setAutomaticRecoveryEnabled(false);
        factory.setConnectionTimeout(TIMEOUT_MS);
        factory.setChannelRpcTimeout(TIMEOUT_MS);
        Connection connection = factory.newConnection();
        try {
            Channel channel = connection.createChannel();
            channel.confirmSelect();
            channel.exchangeDeclare("pay.direct", "direct", true);
            AtomicBoolean returned = new AtomicBoolean(); // comes before the confirm
            channel.addReturnListener((code, text, exchange, key, properties, body) -> returned.set(true));
            AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
                    .deliveryMode(2) // persistent
                    .contentType("application/json")
                    .contentEncoding("UTF-8")
                    .headers(Map.of("__TypeId__", "java.lang.Long"))
                    .build();
            byte[] body = orderNo.toString().getBytes(StandardCharsets.UTF_8);
            channel.basicPublish("pay.direct", "pay.success", true, properties, body);
            if (!channel.waitForConfirms(TIMEOUT_MS)) { // a blocked broker answers nothing at all
                throw new IOException("the broker refused it");
            }
            if (returned.get()) {
                throw new IOException("no queue is bound for pay.success");
            }
        } finally {
            connection.abort(CLOSE_MS);
        }
    }
}
