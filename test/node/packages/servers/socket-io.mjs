// Socket.IO: acknowledged echoes and a room.
import { Server } from 'socket.io';

const io = new Server({ maxHttpBufferSize: 20 * 2 ** 20 });
io.on('connection', (socket) => {
  socket.on('echo', (data, answer) => answer(data));
  socket.on('join', async (room, answer) => {
    await socket.join(room);
    answer();
  });
  socket.on('say', (room, text) => io.to(room).emit('said', text));
});
io.listen(3009);
