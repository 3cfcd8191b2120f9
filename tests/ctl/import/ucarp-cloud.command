ucarp -i eth0 -s 192.0.2.11 -v 10 -p 54a9f7c40f74 -a 192.0.2.10 -u /usr/share/ucarp/vip-up -d /usr/share/ucarp/vip-down -r 3 -B -z
