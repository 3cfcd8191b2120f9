/usr/sbin/ucarp -i eth0 -v 40 -p gw22 -a 192.0.2.222 -u /etc/master-up.sh -d /etc/master-down.sh -s 192.0.2.141 -P -B
