import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Random;

/** FileChannel on the mount: map, transferTo, transferFrom, positional I/O, locks. Argument: a directory there. */
public final class Channels {
	private static final int LEN = 3 * 1024 * 1024 + 77;

	private static FileChannel open(Path file) throws IOException {
		return FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ,
				StandardOpenOption.WRITE);
	}

	private static void check(boolean isTrue, String what) {
		if (!isTrue)
			throw new IllegalStateException(what);
	}

	private static void checkContent(FileChannel file, byte[] wanted, String what) throws IOException {
		ByteBuffer got = ByteBuffer.allocateDirect(wanted.length);
		while (got.hasRemaining() && file.read(got, got.position()) > 0)
			continue;
		byte[] bytes = new byte[got.flip().remaining()];
		got.get(bytes);
		check(Arrays.equals(bytes, wanted) && file.size() == wanted.length, what);
	}

	public static void main(String[] args) throws IOException {
		Path dir = Path.of(args[0]);
		byte[] data = new byte[LEN];
		new Random(1).nextBytes(data);
		try (FileChannel mapped = open(dir.resolve("mapped")); FileChannel sent = open(dir.resolve("sent"));
				FileChannel received = open(dir.resolve("received"))) {
			MappedByteBuffer map = mapped.map(FileChannel.MapMode.READ_WRITE, 0, LEN);
			map.put(data);
			checkContent(mapped, data, "read() sees what the map wrote");
			map.force();
			for (long at = 0; at < LEN;)
				at += mapped.transferTo(at, LEN - at, sent.position(at));
			checkContent(sent, data, "transferTo");
			for (long at = 0; at < LEN;)
				at += received.transferFrom(sent.position(at), at, LEN - at);
			checkContent(received, data, "transferFrom");
			try (var lock = received.lock()) {
				data[LEN / 2] ^= 1;
				received.write(ByteBuffer.wrap(data, LEN / 2, 1), LEN / 2);
			}
			checkContent(received, data, "a byte changed");
			MappedByteBuffer piece = sent.map(FileChannel.MapMode.READ_WRITE, LEN / 2, 1);
			piece.put(0, data[LEN / 2]);
			piece.force();
			checkContent(sent, data, "a byte changed by a map");
			MappedByteBuffer view = received.map(FileChannel.MapMode.READ_ONLY, 0, LEN);
			check(view.equals(ByteBuffer.wrap(data)), "a map sees what write() wrote");
		}
	}
}
